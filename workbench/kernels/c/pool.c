/* The threads alone, for programs that have no ternary layer. */
#define _GNU_SOURCE
#include "ternary.h"

#include "pool.h"
