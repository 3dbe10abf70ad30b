package config

import (
	"fmt"
	"reflect"
	"strings"
)

// StrictShape returns a type that has the schema's keys as fields, for
// go-toml's own decoder in its strict mode. Tables are structs, unless they
// have a short form; all else takes any value.
func StrictShape() reflect.Type {
	var top, service []string
	for _, k := range fileSchema.keys {
		top = append(top, k.path)
	}
	for _, k := range serviceSchema.keys {
		service = append(service, k.path)
	}
	file := shapeOf(top)
	fields := []reflect.StructField{field(file.NumField(), "service", reflect.SliceOf(shapeOf(service)))}
	for i := range file.NumField() {
		fields = append(fields, file.Field(i))
	}
	return reflect.StructOf(fields)
}

func field(n int, name string, t reflect.Type) reflect.StructField {
	return reflect.StructField{Name: fmt.Sprintf("F%d", n), Type: t, Tag: reflect.StructTag(fmt.Sprintf("toml:%q", name))}
}

func shapeOf(paths []string) reflect.Type {
	var fields []reflect.StructField
	done := map[string]bool{}
	for _, path := range paths {
		name, rest, inner := strings.Cut(path, ".")
		if done[name] {
			continue
		}
		done[name] = true
		t := reflect.TypeFor[any]()
		if inner && rest != "" {
			var below []string
			for _, p := range paths {
				if b, ok := strings.CutPrefix(p, name+"."); ok {
					below = append(below, b)
				}
			}
			t = shapeOf(below)
		}
		fields = append(fields, field(len(fields), name, t))
	}
	return reflect.StructOf(fields)
}
