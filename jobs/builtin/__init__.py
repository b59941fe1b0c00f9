"""Jobs that come with the library: print, shell, curl; nothing else of the library imports them."""
