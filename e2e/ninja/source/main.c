#include <stdio.h>

#include "square.h"

int main(void) {
    printf("The square of 12 is %d\n", square(12));
    return 0;
}
