#include <stdio.h>

#include "basic/multiply.h"

int main(void) {
    printf("The answer is %d\n", multiply(6, 7));
    return 0;
}
