package logserver

// MemoryConfig sets the memory backend's limits. The zero value is usable.
type MemoryConfig struct {
	// Quota is the number of bytes that one connection may have in the log.
	// Default 64 MiB.
	Quota int64
	// QuotaTotal is the number of bytes that the log may occupy, rounding
	// included. Default 1 GiB; ftnet's commands pass a quarter of the memory.
	QuotaTotal int64
	// LowSpace is the number of occupied bytes from which on the status has
	// LowSpace. Default seven eighths of QuotaTotal.
	LowSpace int64
}
