// Package workload has clients that know what the right answer is: [Counter]
// talks to examples/counter and [Redis] to a Redis server, and both check every
// reply; [Upload] and [Download] move bytes by the gigabyte to and from cmd/bulk
// and compare hashes. [Nginx] prepares a web server for others' clients. They are what tests, the demo and people put in front of
// a server that is being killed; they use nothing but plain TCP and know
// nothing of ftnet.
package workload
