package caps

import "golang.org/x/sys/unix"

var bits = map[Cap]uint{
	NetAdmin: unix.CAP_NET_ADMIN, NetRaw: unix.CAP_NET_RAW, BPF: unix.CAP_BPF, Perfmon: unix.CAP_PERFMON,
	SysAdmin: unix.CAP_SYS_ADMIN, Setuid: unix.CAP_SETUID, Setgid: unix.CAP_SETGID, Kill: unix.CAP_KILL,
}

// Missing returns those of needed that are not effective. Where that cannot be
// found out it is none.
func Missing(needed ...Cap) []Cap {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&head, &data[0]); err != nil {
		return nil
	}
	return MissingFrom(uint64(data[1].Effective)<<32|uint64(data[0].Effective), needed...)
}

// MissingFrom is Missing for a set in the form of CapEff in /proc/PID/status.
func MissingFrom(effective uint64, needed ...Cap) []Cap {
	var missing []Cap
	for _, c := range needed {
		set := uint64(1) << bits[c]
		if c == BPF || c == Perfmon {
			set |= 1 << unix.CAP_SYS_ADMIN
		}
		if effective&set == 0 {
			missing = append(missing, c)
		}
	}
	return missing
}
