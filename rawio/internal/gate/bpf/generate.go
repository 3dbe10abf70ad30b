package bpf

// The compiled programs are committed: building needs no clang. Generating
// needs clang and the headers of linux-libc-dev and libbpf-dev.
//go:generate go tool bpf2go -go-package bpf -output-stem gate -target bpfel,bpfeb -no-global-types -tags linux Gate gate.c -- -O2 -Wall -Wextra -Werror -mcpu=v3 -I/usr/include/x86_64-linux-gnu -I/usr/include/aarch64-linux-gnu
