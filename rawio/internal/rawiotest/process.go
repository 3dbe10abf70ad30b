package rawiotest

import "net/netip"

// Process owns sockets and listeners, all of which its death closes.
type Process struct {
	stack *Stack
	dead  bool
	files []interface{ exit() } // in the order of their opening
}

// NewProcess starts a process on the stack's host.
func (st *Stack) NewProcess() *Process { return &Process{stack: st} }

// Kill ends the process: the kernel closes its files in their order, as
// do_exit does, which knows nothing of what the process meant to say.
func (p *Process) Kill() {
	defer p.stack.enter()()
	p.dead = true
	files := p.files
	p.files = nil
	for _, f := range files {
		f.exit()
	}
}

// Listen opens a listener; the zero address means all addresses.
func (p *Process) Listen(local netip.AddrPort) (*Listener, error) {
	if p.dead {
		return nil, ErrClosed
	}
	st := p.stack
	if st.listeners[local] != nil {
		return nil, ErrInUse
	}
	l := &Listener{stack: st, process: p, local: local}
	st.listeners[local] = l
	p.files = append(p.files, l)
	return l, nil
}

// Connect begins a connection; Socket.State and Err tell how it goes.
func (p *Process) Connect(local, remote netip.AddrPort) (*Socket, error) {
	if p.dead {
		return nil, ErrClosed
	}
	st := p.stack
	defer st.enter()()
	if old := st.sockets[endpoints{local, remote}]; old != nil {
		return nil, ErrInUse
	}
	s := st.newSocket(local, remote, st.isn())
	s.owner = p
	p.files = append(p.files, s)
	s.state = SynSent
	s.sendSYN()
	s.armRetransmit()
	return s, nil
}

func (p *Process) forget(f interface{ exit() }) {
	for i, x := range p.files {
		if x == f {
			p.files = append(p.files[:i:i], p.files[i+1:]...)
			return
		}
	}
}
