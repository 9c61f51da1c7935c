/* What two of TFX's compiled modules take from glibc 2.38 and GCC 13, for systems that have neither.

   The strto* functions differ from their older namesakes only in that they also read binary numbers ("0b101").
   std::ios_base_library_init() makes std::cout and its kin usable; before GCC 13 an object of
   std::ios_base::Init did that. */
#include <stdlib.h>

extern void _ZNSt8ios_base4InitC1Ev(void *); /* std::ios_base::Init::Init() */
extern void *__cxa_begin_catch(void *);
extern void _ZSt9terminatev(void); /* std::terminate() */

void _ZSt21ios_base_library_initv(void) {
  static char init;
  _ZNSt8ios_base4InitC1Ev(&init);
}

void __cxa_call_terminate(void *exception) {
  if (exception) __cxa_begin_catch(exception);
  _ZSt9terminatev();
}

long __isoc23_strtol(const char *text, char **end, int base) { return strtol(text, end, base); }
long long __isoc23_strtoll(const char *text, char **end, int base) { return strtoll(text, end, base); }
unsigned long __isoc23_strtoul(const char *text, char **end, int base) { return strtoul(text, end, base); }
unsigned long long __isoc23_strtoull(const char *text, char **end, int base) { return strtoull(text, end, base); }
