// main.cpp: scores of the keyword network for one second of silence.
#include <Arduino.h>

#include "kws.hpp"

static uint8_t arena[KWS_ARENA_SIZE] KWS_ARENA_ALIGN;
static thumbnet::kws network(arena);

void setup() { Serial.begin(115200); }

void loop() {
    for (int8_t &x : network.input()) {
        x = network.quantize_input(0.0f);
    }
    network.run();
    for (int8_t score : network.output()) {
        Serial.println(score);
    }
    delay(1000);
}
