package rawio

import "github.com/ftnet/ftnet/rawio/internal/gate/kernel"

// Feature is one thing that the engine needs of the kernel.
type Feature struct {
	Name string
	// Unmodified says that only services with unmodified servers need it.
	Unmodified bool
	Err        error // nil, or why it is missing: an *UnsupportedFeatureError
	// Untried is why it was not tried, and is believed to be there: the engine needs less
	// privilege than the trial.
	Untried error
}

// Features tries everything that the gate needs of this kernel, with the privileges of the
// process, and returns the results in the order of dependence. No engine need be open, and one
// that is open does not notice. What changes interfaces is tried in a network namespace that is
// made for it, which takes CAP_SYS_ADMIN. Nothing remains. It blocks while programs are loaded,
// which may take seconds.
func Features() []Feature {
	var list []Feature
	add := func(unmodified bool, tried []kernel.Feature) {
		for _, f := range tried {
			list = append(list, Feature{Name: f.Name, Unmodified: unmodified, Err: f.Err, Untried: f.Untried})
		}
	}
	add(false, kernel.Features())
	add(true, kernel.ReleaseFeatures())
	return list
}
