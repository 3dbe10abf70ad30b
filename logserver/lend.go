package logserver

// Loan is memory of a log where the next bytes of a connection belong; see Lender.
type Loan interface {
	// Bytes returns the memory. The borrower may write to it until Return.
	Bytes() []byte
	// Commit is Write for the first n of the bytes, which follow the end that the data had
	// when the loan was made: they stay where they are, unless the log has used that
	// place meanwhile. It may be called once at most; n is between 0 and len(Bytes()).
	Commit(n int) (int, error)
	// Return ends the loan. It must be called, once, and nothing after it.
	Return()
}

// Lender is what a Log is besides if Write need not copy: its caller receives
// the client's bytes where they are to stay, and then commits them.
type Lender interface {
	// Lend returns n bytes of memory behind the end of the connection's data,
	// or nil if there are not so many in one piece. It is no error if the
	// connection is unknown.
	//
	// Nothing of the memory is in the log until Commit. Meanwhile all writes to the
	// connection are to be the borrower's, who may give parts of the memory to Write as
	// well, which copies them. Delete and Rebase may be called; Close waits for Return.
	Lend(id ConnID, n int) Loan
}
