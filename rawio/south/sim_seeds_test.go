package south_test

import "testing"

// mended are seeds that once failed, and what was wrong. What a seed means changes with
// the plans: the scripts in testdata say the same of the core alone.
var mended = []struct {
	*kind
	seed uint64
	why  string
}{
	{&blind, 1795909217744929, "the server crashed again and again, and each time what was found of what the tap could not see was forgotten"},
	{&blind, 1795909217747133, "the same"},
	{&blind, 1795909217760309, "the same"},
	{&blind, 1795909217771909, "the same"},
	{&blind, 1795909217755555, "the kernel SACKed what the tap could not see, and nobody looked after the ACK that was held for it"},
	{&blind, 1795909217768459, "nobody asked the client in place of the kernel, whose probes were held"},
	{&blind, 1795909217756345, "the client had repeated itself unseen in the outage, and gave up before it had done so often enough after it"},
	{&blind, 1795909217759703, "the same"},
	{&blind, 1795909217770910, "the same"},
	{&blind, 1795909217771583, "the same"},
	{&blind, 1795911062635830, "the ACK of what had waited echoed the first time that it was said: the client took all of that for a round trip"},
	{&plain, 64653, "a client that had closed and forgotten the connection was taken for one that resets it"},
	{&alone, 10467, "the kernel had forgotten a half-open connection and begun it with another number"},
	{&alone, 14946, "the same"},
	{&alone, 22824, "a restored connection's server sent more than its client's window, which was not known"},
	{&alone, 33782, "the network lost the SYNs that came after the time without an engine"},
	{&alone, 52442, "an engine got the answer of the log to the one before"},
	{&alone, 55719, "the network lost the SYNs that came after the time without an engine"},
	{&alone, 1015458, "a RST that the application meant was lost, and had left while no engine lived"},
	{&alone, 1046534, "the same, of a connection that had been recovered"},
	{&alone, 1090516, "the same, with data that had not left before it"},
	{&alone, 1038844, "a restored connection's server sent more than its client's window: its SYN had offered the most that there is"},
	{&crashes, 1038844, "the same"},
	{&alone, 1040636, "an engine found a connection whose worker had crashed, and took it for one that was over"},
	{&alone, 1075848, "the host that had the last ACK to repeat was booted again, and the client was not seen to have all that it wanted"},
	{&crashes, 1075848, "the same"},
	{&crashes, 1045005, "the client's word counted the FIN of an earlier server, and was heard after another one that did not"},
	{&plain, 1059703, "the client had forgotten the connection, and its RST met a socket that its server had not read to the end"},
	{&plain, 1069435, "what went on without protection had its last ACK lost, which no FIN carried"},
	{&alone, 5297539, "the network lost the SYNs that came after one that nobody had listened to yet"},
	{&alone, 5367172, "an engine took a FIN that the gate had held for a byte that had left"},
	{&alone, 7000162, "the client had more than the record of an adopted connection's output when the next roll-forward began"},
	{&alone, 7008334, "the kernel refused a copy of the SYN in place of a live connection, when the listener had just gone"},
	{&plain, 1062552, "the SYN-ACK was lost, and nobody repeated it after a crash"},
	{&alone, 5095763, "the kernel dropped a half-open connection after its SYN-ACK had waited for an engine, and refused the client's ACK"},
	{&alone, 5315691, "the same"},
	{&plain, 8048306, "the client's time-out had grown while it waited for the log, and the connection was forgotten too soon"},
	{&alone, 20000441, "a server that tells nobody had closed a connection whose client knew of the FIN from an earlier one"},
	{&alone, 20082870, "only what the client had been answered told that it had said more than the log had, and its time-out was long"},
	{&queues, 15, "a SYN cookie had no room for what the restarted stack agreed to"},
	{&queues, 268, "the listener did not know what came before the third ACK of a SYN cookie, and knew it later"},
	{&queues, 571, "a SYN cookie's first segment made another connection when the first was over"},
	{&queues, 12016, "the kernel took the time since an earlier socket's segment for a round trip"},
	{&queues, 16715, "a SYN cookie waited for the log when the kernel answered its SYN again otherwise"},
	{&queues, 19853, "the SYNs that had waited for a server found its queue full"},
	{&queues, 10963, "what only the tap lacks was not repeated because the log was behind"},
	{&alone, 1795903734510711, "the kernel had begun a half-open connection anew when its client got the first SYN-ACK"},
	{&plain, 1795904205528231, "the RST of a client had the number that its new kernel socket expected, and not the log"},
	{&plain, 1795904205517831, "a client that repeated what waited for the log was taken for one that the tap cannot see"},
	{&plain, 1795904927737753, "an old ACK came after the last one, which the tap had missed, and the kernel had no socket any more"},
	{&queues, 62894, "an ACK that came late found a listener that had sent a SYN cookie, and made another connection"},
	{&queues, 67689, "the same, of one that was opened again; the core gave it the same ACK"},
	{&queues, 9778, "the same"},
	{&queues, 1795906806005278, "an unmodified server had closed, the log lacked a part, and the client did not hear the ACK of all of it"},
	{&queues, 1795906806000404, "a SYN cookie's first segment made another connection when a worker had crashed and nobody knew yet"},
	{&queues, 1795907135619819, "the restarted server reset a connection of which it was not known yet that it had it"},
	{&queues, 1795907135549436, "the kernel answered a copy of the SYN, and then took the third ACK of the SYN cookie before"},
	{&queues, 1795907135580414, "the second segment came before the first one of a SYN cookie, and the RST for it was taken for the server's"},
	{&queues, 1795907135608546, "a crashed server's FIN was taken for that of the next one, whose SYN cookie had the same number"},
	{&queues, 1795907135615202, "the same"},
	{&crashes, 1795907119951636, "a segment of the time before the engine's crash reached the client late, and had a newer timestamp than was known"},
	{&plain, 1795907535809198, "the kernel's answers to what the client had answered the core were taken for ones to what the tap cannot see"},
	{&alone, 1795907550671067, "the same"},
	{&crashes, 1795909340115530, "a client's handshake took longer than its keepalive time, and the model probed no more"},
	{&alone, 1795909394021415, "a FIN was held while there was no engine, and the kernel had given up to repeat it"},
	{&queues, 1795907476610146, "a client's time-out had grown while it waited for the log, and outlasted TIME_WAIT"},
	{&queues, 1795907623416201, "a SYN cookie for a client that had waited was lost, and nobody repeated it"},
	{&plain, 1795910617849224, "the FIN had left with a lower ACK number, and the kernel's last ACK was lost"},
	{&plain, 1795910617923902, "the SYN-ACK of a connection without protection was repeated, and taken for that of a new one"},
	{&plain, 1795910618027498, "what a crashed socket had said was taken for the next one's, whose clock it is not"},
	{&crashes, 1795910769844980, "after a roll-forward the core acknowledged what only it had"},
	{&queues, 1795912714509860, "a server had closed before the core looked what an answer to a segment before the third ACK was"},
	{&queues, 1795912028848761, "the client's last segment came before the third ACK of a SYN cookie, and the kernel had answered a copy of the SYN"},
	{&crashes, 1795912714707938, "a copy of what the kernel had taken was taken for what nobody reads, and the host was booted before the last output had left"},
	{&blind, 1795912870377524, "the client repeated an unseen segment with one that was seen, and the kernel's answers were taken for that one's"},
	{&blind, 1795914571431284, "of what the client repeated unseen the network lost a part, and it gave up before it was let go of"},
	{&blind, 1795914571666026, "others were not opened while one waited for what its client repeats unseen, and a client gave up"},
	{&blind, 1795915108690087, "the network lost the core's last ACK to a client that had repeated itself unseen for long"},
	{&alone, 1795914497554095, "the first segment that a new engine heard was on its way for long, and the client had newer timestamps than it echoed"},
	{&queues, 1795914436295993, "a SYN cookie began another connection after a RST, and the core forgot the first"},
	{&queues, 1795914436312001, "the same; its numbers were not the client's, which did not end in time"},
	{&queues, 1795914571439265, "half-open sockets of SYNs that came late filled the queue, and only others were tried"},
	{&queues, 1795915811970127, "what the tap lost once in an outage and once after it was taken for one that it cannot see"},
	{&queues, 1795915002526284, "the tap lost the same bytes five times, which the check took for none"},
	{&crashes, 1795910769743401, "a restored connection was over, and the gate held the FIN of the server that tells nobody"},
	{&plain, 1795916695561826, "the log had not taken what came before a FIN, which was not known then when the kernel knew the connection no more"},
	{&blind, 1795916227434124, "of what the client repeated in an outage the tap saw a part each time"},
	{&blind, 1795917479313623, "what the client had still to say was taken for repetitions"},
}

// TestMended runs them again.
func TestMended(t *testing.T) {
	for _, s := range mended {
		if w := run(s.plan(s.seed)); w.failure != "" {
			t.Errorf("%s, seed %d (%s): %s", s.test, s.seed, s.why, w.failure)
		}
	}
}
