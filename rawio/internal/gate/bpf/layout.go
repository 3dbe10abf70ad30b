package bpf

// Layout is LAYOUT in alive.h: which records the maps hold, and what they mean. An engine
// adopts the gate of another only if they agree in it; raise both with any change to what
// the gate has in its maps or makes of it.
const Layout = 9
