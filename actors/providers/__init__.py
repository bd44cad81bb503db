"""A provider tried from outside: `sprout providers check`, for whoever writes or runs one."""
