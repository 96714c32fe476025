package main

import (
	"encoding/json"
	"fmt"
	"os/exec"
)

// module is one whose files are read, and whose code is not built. It is pinned by its hash, as in go.sum.
type module struct {
	path, version, sum string
}

var (
	kubernetes = module{"k8s.io/kubernetes", "v1.37.2", "h1:A2VDEiObzkYqFTKhSsn0ZEb0RlLEXpHWj93gi2HqEwE="}
	keda       = module{"github.com/kedacore/keda/v2", "v2.21.0", "h1:R6z2HZvstK4RLUMxroNACzBj74xGxt3kG59b5Xc+Xps="}
	knative    = module{"knative.dev/serving", "v0.51.0", "h1:yN2Q7eYqJgoPfZkATjoBZyGbZ2P1Qhns9HIMU4mF+to="}
)

// directory downloads the module, unless it is there.
func (m module) directory() (string, error) {
	out, err := exec.Command("go", "mod", "download", "-json", m.path+"@"+m.version).Output()
	var got struct{ Dir, Sum, Error string }
	if jsonErr := json.Unmarshal(out, &got); jsonErr != nil {
		return "", fmt.Errorf("go mod download %s: %v", m.path, err)
	}
	if got.Error != "" {
		return "", fmt.Errorf("go mod download %s: %s", m.path, got.Error)
	}
	if got.Sum != m.sum {
		return "", fmt.Errorf("%s@%s has the hash %s, not %s", m.path, m.version, got.Sum, m.sum)
	}
	return got.Dir, nil
}
