from almanac import main

main()
