"""Builds a PlatformIO project with the host's gcc. PlatformIO runs this inside SCons."""

from SCons.Script import Default, DefaultEnvironment

env = DefaultEnvironment()
env.Replace(AR="ar", CC="gcc", CXX="g++", LINK="g++", RANLIB="ranlib", PROGNAME="program")
env.Append(CCFLAGS=["-Os"], LINKFLAGS=["-Wl,--gc-sections"])
Default(env.BuildProgram())
