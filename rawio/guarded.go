package rawio

// guarded is told by links that packets may pass by the gate on an interface, and why, or
// that they do not any more.
func (e *Engine) guarded(index int, why string) {}
