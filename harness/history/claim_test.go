package history

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestParseGuarantee(t *testing.T) {
	for text, want := range map[string]Guarantee{
		"linearizable":                {Name: Linearizable},
		"sequential":                  {Name: Sequential},
		"linearizable writes":         {Name: LinearizableWrites},
		"monotonic reads":             {Name: MonotonicReads},
		"read your writes":            {Name: ReadYourWrites},
		"monotonic writes":            {Name: MonotonicWrites},
		"writes follow reads":         {Name: WritesFollowReads},
		"converges":                   {Name: Converges},
		"converges within 1s":         {Name: Converges, Time: time.Second},
		"stale by at most 500ms":      {Name: StaleByTime, Time: 500 * time.Millisecond},
		"stale by at most 1.5s":       {Name: StaleByTime, Time: 1500 * time.Millisecond},
		"stale by at most 1 version":  {Name: StaleByVersions, Versions: 1},
		"stale by at most 2 versions": {Name: StaleByVersions, Versions: 2},
	} {
		if got, err := ParseGuarantee(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "monotonic", "Sequential", "stale by at most a time", "stale by at most some versions",
		"converges within", "converges within 0s", "converges within x", "stale by at most", "stale by at most ", "stale by at most 0s", "stale by at most -1s", "stale by at most 5",
		"stale by at most 0 versions", "stale by at most 16 versions", "stale by at most x versions", "stale by at most versions",
	} {
		got, err := ParseGuarantee(text)
		if err == nil || strings.Contains(err.Error(), "\n") || got != (Guarantee{}) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}

func FuzzParseGuarantee(f *testing.F) {
	for _, text := range guaranteeForms {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		g, err := ParseGuarantee(text)
		if (err == nil) != (g.Name != "") {
			t.Errorf("%q: %+v, %v", text, g, err)
		}
		if err == nil && (g.Name == StaleByTime || strings.HasPrefix(text, within)) != (g.Time > 0) || (g.Name == StaleByVersions) != (g.Versions > 0) {
			t.Errorf("%q: %+v", text, g)
		}
	})
}

func TestClaim(t *testing.T) {
	if claim := (Claim{Guarantees: []string{"sequential", "monoton"}}); claim.Validate() == nil {
		t.Error("monoton is a guarantee")
	}
	for _, c := range []struct {
		claim        Claim
		linearizable bool
	}{
		{Claim{}, true},
		{Claim{Guarantees: []string{Linearizable, Converges}}, true},
		{Claim{Guarantees: []string{Converges}}, false},
		{Claim{Expect: []string{"stale read"}}, false},
		{Claim{Expect: []string{"stale read"}, Guarantees: []string{Linearizable}}, false},
	} {
		if c.claim.Linearizable() != c.linearizable || c.claim.Validate() != nil {
			t.Errorf("%+v: linearizable %v", c.claim, c.claim.Linearizable())
		}
	}
	var old Claim
	if err := json.Unmarshal([]byte(`{"cap":"AP","expect":["stale read"]}`), &old); err != nil || !old.Admits("stale read") || old.Guarantees != nil {
		t.Errorf("%+v, %v", old, err)
	}
	if text, err := json.Marshal(old); err != nil || string(text) != `{"cap":"AP","expect":["stale read"]}` {
		t.Errorf("%s, %v", text, err)
	}
}
