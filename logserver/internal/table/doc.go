// Package table is what logs of every kind keep of their connections in memory, whatever
// becomes of the data: the connections in the order in which they were opened, the numbers
// that were used, the services, the metadata in little room, the reads, and what upcalls have
// told. None of its types but Status and Upcalls has a lock: its user's guards them.
package table
