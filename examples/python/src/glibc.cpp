// With the linker's --wrap=hypot: every hypot of a program is the one of the oldest glibc.

#include <cmath>

#if defined(__GLIBC__)
extern "C" double oldest_hypot(double a, double b);
__asm__(".symver oldest_hypot,hypot@GLIBC_2.2.5");
#else
extern "C" double __real_hypot(double a, double b);
static double oldest_hypot(double a, double b) { return __real_hypot(a, b); }
#endif

extern "C" double __wrap_hypot(double a, double b);
extern "C" double __wrap_hypot(double a, double b) { return oldest_hypot(a, b); }
