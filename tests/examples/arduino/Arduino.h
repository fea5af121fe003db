/* A stand-in for an Arduino core, on the host: as much of it as the sketches use. */
#ifndef ARDUINO_H
#define ARDUINO_H

#include <stdint.h>
#include <stdio.h>

struct SerialPort {
    void begin(unsigned long) {}
    void println(int value) { printf("%d\n", value); }
};
static SerialPort Serial;

static inline void delay(unsigned long) {}
void setup();
void loop();

int main() {
    setup();
    loop();
}

#endif
