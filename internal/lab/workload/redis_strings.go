package workload

import "strconv"

// longestString is when a string that grows is set anew, in bytes.
const longestString = 32 << 10

var stringOperations = []operation{
	func(m *redisModel) ([]string, string) {
		k, v := m.key("s"), m.value()
		m.strings[k] = v
		return []string{"SET", k, v}, respOK
	},
	func(m *redisModel) ([]string, string) {
		k := m.key("s")
		v, ok := m.strings[k]
		if !ok {
			return []string{"GET", k}, respNil
		}
		return []string{"GET", k}, respBulk(v)
	},
	func(m *redisModel) ([]string, string) {
		k, v := m.key("s"), m.value()
		if len(m.strings[k]) > longestString {
			m.strings[k] = v
			return []string{"SET", k, v}, respOK
		}
		m.strings[k] += v
		return []string{"APPEND", k, v}, respInt(int64(len(m.strings[k])))
	},
	func(m *redisModel) ([]string, string) {
		k := m.key("s")
		v := m.strings[k]
		if len(v) == 0 {
			return []string{"STRLEN", k}, respInt(0)
		}
		from := m.rnd.IntN(len(v))
		to := from + m.rnd.IntN(len(v)-from)
		return []string{"GETRANGE", k, strconv.Itoa(from), strconv.Itoa(to)}, respBulk(v[from : to+1])
	},
	func(m *redisModel) ([]string, string) {
		k := m.key("n")
		return []string{"INCR", k}, respInt(m.addTo(k, 1))
	},
	func(m *redisModel) ([]string, string) {
		k, by := m.key("n"), m.rnd.Int64N(1000000)-500000
		return []string{"INCRBY", k, strconv.FormatInt(by, 10)}, respInt(m.addTo(k, by))
	},
	func(m *redisModel) ([]string, string) {
		keys := []string{m.key("s"), m.key("n"), m.key("h")}
		replies := make([]string, len(keys))
		for i, k := range keys {
			replies[i] = respNil // also for what is no string
			if v, ok := m.strings[k]; ok {
				replies[i] = respBulk(v)
			}
		}
		return append([]string{"MGET"}, keys...), respArray(replies)
	},
}

// addTo adds to a number, which cannot overflow within a test's time.
func (m *redisModel) addTo(key string, by int64) int64 {
	n, _ := strconv.ParseInt(m.strings[key], 10, 64) // none counts as 0
	n += by
	m.strings[key] = strconv.FormatInt(n, 10)
	return n
}
