package command

import (
	"cmp"
	"runtime/debug"
	"testing"
)

func TestVersion(t *testing.T) {
	commit := debug.BuildSetting{Key: "vcs.revision", Value: "0123abc"}
	modified := debug.BuildSetting{Key: "vcs.modified", Value: "true"}
	for _, test := range []struct {
		what, want string
		build      debug.BuildInfo
		name       string // default: rashomon
	}{
		{"installed", "rashomon v0.1.0 commit unknown go1.26.8", debug.BuildInfo{GoVersion: "go1.26.8", Main: debug.Module{Version: "v0.1.0"}}, ""},
		{"built in a clone", "rashomon (devel) commit 0123abc go1.26.8", debug.BuildInfo{
			GoVersion: "go1.26.8", Main: debug.Module{Version: "(devel)"}, Settings: []debug.BuildSetting{commit},
		}, ""},
		{"built in a clone with edits", "rashomon (devel) commit 0123abc modified go1.26.8", debug.BuildInfo{
			GoVersion: "go1.26.8", Main: debug.Module{Version: "(devel)"}, Settings: []debug.BuildSetting{commit, modified},
		}, ""},
		{"run by go test", "rashomon (devel) commit unknown go1.26.8", debug.BuildInfo{GoVersion: "go1.26.8"}, ""},
		{"a user's command", "mystore v2.0.0 commit unknown with rashomon v0.1.0 go1.26.8", debug.BuildInfo{
			GoVersion: "go1.26.8", Main: debug.Module{Version: "v2.0.0"}, Deps: []*debug.Module{{Path: "other"}, {Path: module, Version: "v0.1.0"}},
		}, "mystore"},
	} {
		t.Run(test.what, func(t *testing.T) {
			if got := version(cmp.Or(test.name, "rashomon"), &test.build); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}
