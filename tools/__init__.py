"""What people run: the thumbnet command, emulators, the cycle meter, reports, the demo."""
