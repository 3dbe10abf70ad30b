package workload

import (
	"cmp"
	"slices"
	"strconv"
)

// orderedMap keeps its fields in the order in which they came. So does a
// Redis hash as long as it is a listpack: at most 128 fields of at most 64
// bytes. A larger one has another order in each process.
type orderedMap struct {
	fields []string
	values map[string]string
}

// longestList is how many elements a list has at most.
const longestList = 40

var listOperations = []operation{
	func(m *redisModel) ([]string, string) { return m.push("LPUSH") },
	func(m *redisModel) ([]string, string) { return m.push("RPUSH") },
	func(m *redisModel) ([]string, string) { return m.push("RPUSH") },
	func(m *redisModel) ([]string, string) {
		k := m.key("l")
		if len(m.lists[k]) == 0 {
			return []string{"LPOP", k}, respNil
		}
		first := m.lists[k][0]
		if m.lists[k] = m.lists[k][1:]; len(m.lists[k]) == 0 {
			delete(m.lists, k)
		}
		return []string{"LPOP", k}, respBulk(first)
	},
	func(m *redisModel) ([]string, string) {
		k := m.key("l")
		return []string{"LRANGE", k, "0", "-1"}, respBulks(m.lists[k])
	},
	func(m *redisModel) ([]string, string) {
		k := m.key("l")
		return []string{"LLEN", k}, respInt(int64(len(m.lists[k])))
	},
}

// push appends one to three values at either end of a list that has room.
func (m *redisModel) push(name string) ([]string, string) {
	k := m.key("l")
	if len(m.lists[k]) >= longestList {
		delete(m.lists, k)
		return []string{"DEL", k}, respInt(1)
	}
	command := []string{name, k}
	for range 1 + m.rnd.IntN(3) {
		v := m.value()
		command = append(command, v)
		if name == "LPUSH" {
			m.lists[k] = slices.Insert(m.lists[k], 0, v)
		} else {
			m.lists[k] = append(m.lists[k], v)
		}
	}
	return command, respInt(int64(len(m.lists[k])))
}

var hashOperations = []operation{
	func(m *redisModel) ([]string, string) { return m.setField() },
	func(m *redisModel) ([]string, string) { return m.setField() },
	func(m *redisModel) ([]string, string) {
		k, f := m.key("h"), m.short()
		if h := m.hashes[k]; h != nil {
			if v, ok := h.values[f]; ok {
				return []string{"HGET", k, f}, respBulk(v)
			}
		}
		return []string{"HGET", k, f}, respNil
	},
	func(m *redisModel) ([]string, string) {
		k := m.key("h")
		var all []string
		if h := m.hashes[k]; h != nil {
			for _, f := range h.fields {
				all = append(all, f, h.values[f])
			}
		}
		return []string{"HGETALL", k}, respBulks(all)
	},
	func(m *redisModel) ([]string, string) {
		k, f := m.key("h"), m.short()
		h := m.hashes[k]
		if h == nil || !slices.Contains(h.fields, f) {
			return []string{"HDEL", k, f}, respInt(0)
		}
		delete(h.values, f)
		h.fields = slices.DeleteFunc(h.fields, func(g string) bool { return g == f })
		if len(h.fields) == 0 {
			delete(m.hashes, k)
		}
		return []string{"HDEL", k, f}, respInt(1)
	},
}

func (m *redisModel) setField() ([]string, string) {
	k, f, v := m.key("h"), m.short(), m.value()
	v = v[:min(len(v), 64)]
	h := m.hashes[k]
	if h == nil {
		h = &orderedMap{values: map[string]string{}}
		m.hashes[k] = h
	}
	n := int64(0)
	if _, ok := h.values[f]; !ok {
		h.fields = append(h.fields, f)
		n = 1
	}
	h.values[f] = v
	return []string{"HSET", k, f, v}, respInt(n)
}

var sortedOperations = []operation{
	func(m *redisModel) ([]string, string) { return m.addMember() },
	func(m *redisModel) ([]string, string) { return m.addMember() },
	func(m *redisModel) ([]string, string) {
		k := m.key("z")
		z := m.sorted[k]
		members := make([]string, 0, len(z))
		for member := range z {
			members = append(members, member)
		}
		// Members of one score are ordered by their bytes.
		slices.SortFunc(members, func(a, b string) int {
			return cmp.Or(cmp.Compare(z[a], z[b]), cmp.Compare(a, b))
		})
		var all []string
		for _, member := range members {
			all = append(all, member, strconv.FormatInt(z[member], 10))
		}
		return []string{"ZRANGE", k, "0", "-1", "WITHSCORES"}, respBulks(all)
	},
	func(m *redisModel) ([]string, string) {
		k, member := m.key("z"), m.short()
		if _, ok := m.sorted[k][member]; !ok {
			return []string{"ZREM", k, member}, respInt(0)
		}
		if delete(m.sorted[k], member); len(m.sorted[k]) == 0 {
			delete(m.sorted, k)
		}
		return []string{"ZREM", k, member}, respInt(1)
	},
	func(m *redisModel) ([]string, string) {
		k := m.key("z")
		return []string{"ZCARD", k}, respInt(int64(len(m.sorted[k])))
	},
}

func (m *redisModel) addMember() ([]string, string) {
	k, member, score := m.key("z"), m.short(), m.rnd.Int64N(20)
	if m.sorted[k] == nil {
		m.sorted[k] = map[string]int64{}
	}
	n := int64(0)
	if _, ok := m.sorted[k][member]; !ok {
		n = 1
	}
	m.sorted[k][member] = score
	return []string{"ZADD", k, strconv.FormatInt(score, 10), member}, respInt(n)
}
