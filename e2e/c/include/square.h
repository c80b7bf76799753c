int square(int number);
