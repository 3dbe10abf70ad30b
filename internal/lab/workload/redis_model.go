package workload

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// redisModel is what a Redis server must hold of one connection's keys, and
// the source of its commands. It is written from Redis's documentation.
//
// Keys carry the connection's prefix and name what they hold: s strings, n
// numbers, l lists, h hashes, z sorted sets.
type redisModel struct {
	rnd    *rand.Rand
	prefix string
	max    int // bytes of the longest value

	strings map[string]string
	lists   map[string][]string
	hashes  map[string]*orderedMap
	sorted  map[string]map[string]int64 // member to score
}

// keysOfKind is small, so that commands meet what others have left.
const keysOfKind = 3

func newRedisModel(rnd *rand.Rand, prefix string, max int) *redisModel {
	return &redisModel{
		rnd: rnd, prefix: prefix, max: max,
		strings: map[string]string{}, lists: map[string][]string{},
		hashes: map[string]*orderedMap{}, sorted: map[string]map[string]int64{},
	}
}

// clone shares the source of randomness, and nothing else.
func (m *redisModel) clone() *redisModel {
	c := *m
	c.strings, c.lists = maps.Clone(m.strings), maps.Clone(m.lists)
	c.hashes, c.sorted = map[string]*orderedMap{}, map[string]map[string]int64{}
	for k, l := range c.lists {
		c.lists[k] = slices.Clone(l)
	}
	for k, h := range m.hashes {
		c.hashes[k] = &orderedMap{slices.Clone(h.fields), maps.Clone(h.values)}
	}
	for k, z := range m.sorted {
		c.sorted[k] = maps.Clone(z)
	}
	return &c
}

// operation makes one command, applies it to the model and tells the reply.
type operation func(m *redisModel) (command []string, reply string)

// operations are drawn with equal probability.
var operations = slices.Concat(stringOperations, listOperations, hashOperations, sortedOperations, keyOperations)

// next makes one command, outside of a transaction.
func (m *redisModel) next() (command []string, reply string) {
	return operations[m.rnd.IntN(len(operations))](m)
}

// transaction makes MULTI, some commands, and EXEC or DISCARD.
func (m *redisModel) transaction() (commands [][]string, replies string) {
	commands, replies = append(commands, []string{"MULTI"}), respOK
	on, discard := m, m.rnd.IntN(4) == 0
	if discard {
		on = m.clone()
	}
	var results []string
	for range m.rnd.IntN(6) {
		command, reply := on.next()
		commands, results = append(commands, command), append(results, reply)
		replies += respQueued
	}
	if discard {
		return append(commands, []string{"DISCARD"}), replies + respOK
	}
	return append(commands, []string{"EXEC"}), replies + respArray(results)
}

func (m *redisModel) key(kind string) string {
	return m.prefix + kind + strconv.Itoa(m.rnd.IntN(keysOfKind))
}

// value is random bytes: mostly a few, sometimes many.
func (m *redisModel) value() string {
	n := m.rnd.IntN(32)
	if m.rnd.IntN(10) == 0 {
		n = m.rnd.IntN(m.max + 1)
	}
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(m.rnd.Uint32())
	}
	return string(b)
}

// short is a name of which few others exist.
func (m *redisModel) short() string { return "m" + strconv.Itoa(m.rnd.IntN(12)) }

func (m *redisModel) exists(key string) bool {
	_, s := m.strings[key]
	_, l := m.lists[key]
	_, h := m.hashes[key]
	_, z := m.sorted[key]
	return s || l || h || z
}

func (m *redisModel) remove(key string) {
	delete(m.strings, key)
	delete(m.lists, key)
	delete(m.hashes, key)
	delete(m.sorted, key)
}

// anyKey is a key of any kind, which need not exist.
func (m *redisModel) anyKey() string {
	return m.key(string("snlhz"[m.rnd.IntN(5)]))
}

var keyOperations = []operation{
	func(m *redisModel) ([]string, string) {
		command, n := []string{"DEL"}, int64(0)
		for range 1 + m.rnd.IntN(2) {
			k := m.anyKey()
			command = append(command, k)
			if m.exists(k) {
				n++
				m.remove(k)
			}
		}
		return command, respInt(n)
	},
	func(m *redisModel) ([]string, string) {
		k := m.anyKey()
		if m.exists(k) {
			return []string{"EXISTS", k, k}, respInt(2)
		}
		return []string{"EXISTS", k, k}, respInt(0)
	},
	func(m *redisModel) ([]string, string) {
		v := m.value()
		return []string{"ECHO", v}, respBulk(v)
	},
	// An error is a reply like others.
	func(m *redisModel) ([]string, string) {
		k := m.key("l")
		if _, ok := m.lists[k]; !ok {
			return []string{"GET", k}, respNil
		}
		return []string{"GET", k}, respWrongType
	},
	func(m *redisModel) ([]string, string) {
		k := m.key("s")
		v, ok := m.strings[k]
		if !ok {
			v = "no number"
		}
		if _, err := strconv.ParseInt(v, 10, 64); err == nil || strings.HasPrefix(v, "-") {
			return []string{"PING"}, "+PONG\r\n"
		}
		if !ok {
			m.strings[k] = "1"
			return []string{"INCR", k}, respInt(1)
		}
		return []string{"INCR", k}, respNoInteger
	},
}
