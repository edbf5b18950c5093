package process

import "github.com/rashomon-io/rashomon/harness/cluster"

// bypass is known on Linux only.
func bypass(map[int]cluster.Node) *cluster.Bypass { return nil }
