package main

import (
	"runtime/debug"
	"testing"
)

func TestVersion(t *testing.T) {
	commit := debug.BuildSetting{Key: "vcs.revision", Value: "0123abc"}
	modified := debug.BuildSetting{Key: "vcs.modified", Value: "true"}
	for _, test := range []struct {
		what, want string
		build      debug.BuildInfo
	}{
		{"installed", "rashomon v0.1.0 commit unknown go1.26.8", debug.BuildInfo{GoVersion: "go1.26.8", Main: debug.Module{Version: "v0.1.0"}}},
		{"built in a clone", "rashomon (devel) commit 0123abc go1.26.8", debug.BuildInfo{
			GoVersion: "go1.26.8", Main: debug.Module{Version: "(devel)"}, Settings: []debug.BuildSetting{commit},
		}},
		{"built in a clone with edits", "rashomon (devel) commit 0123abc modified go1.26.8", debug.BuildInfo{
			GoVersion: "go1.26.8", Main: debug.Module{Version: "(devel)"}, Settings: []debug.BuildSetting{commit, modified},
		}},
		{"run by go test", "rashomon (devel) commit unknown go1.26.8", debug.BuildInfo{GoVersion: "go1.26.8"}},
	} {
		t.Run(test.what, func(t *testing.T) {
			if got := version(&test.build); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}
