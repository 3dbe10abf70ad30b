package gate

// The compiled programs are committed: building needs no clang. Generating
// needs clang and the headers of linux-libc-dev and libbpf-dev.
//go:generate go tool bpf2go -go-package gate -output-stem bpf -target bpfel,bpfeb -no-global-types -tags linux bpf bpf/gate.c -- -O2 -Wall -Wextra -Werror -mcpu=v3 -I/usr/include/x86_64-linux-gnu -I/usr/include/aarch64-linux-gnu
