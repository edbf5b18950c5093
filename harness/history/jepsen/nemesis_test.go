package jepsen_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rashomon-io/rashomon/harness/history"
	"github.com/rashomon-io/rashomon/harness/history/jepsen"
)

// What a nemesis says that it did is understood, or said to be unknown; in EDN and
// in text alike.
func TestNemesis(t *testing.T) {
	for _, test := range []struct {
		name string
		told []string // :f and :value of what has taken effect
		want string
	}{
		{"a process is paused", []string{`:start {"n1" [:paused "redis-server"]}`, `:stop {"n1" [:resumed "redis-server"]}`}, "inject pause [n1] [] redis-server; heal pause"},
		{"killed and started", []string{`:kill {"n1" :killed}`, `:start {"n1" :started}`}, "inject kill [n1] []; heal kill"},
		{"killed by :start", []string{`:start {"n2" :killed}`, `:stop {"n2" :restarted}`}, "inject kill [n2] []; heal kill"},
		{"what :stop does not say", []string{`:start {"n2" :killed}`, `:stop nil`}, "inject kill [n2] []; heal kill"},
		{"a grudge", []string{`:start [:isolated {"n1" #{"n2"}}]`, `:stop :network-healed`}, "inject partition [] [n2>n1]; heal partition"},
		{"a grudge alone", []string{`:start-partition {"n1" #{"n2"}}`, `:stop-partition nil`}, "inject partition [] [n2>n1]; heal partition"},
		{"an older grudge", []string{`:start "Cut off {:n1 #{:n2}}"`, `:stop "fully connected"`}, "inject partition [] [n2>n1]; heal partition"},
		{"a clock", []string{`:bump {"n1" 100}`, `:reset nil`, `:check-offsets {"n1" 0.1}`}, "inject clock [n1] []; heal clock"},
		{"something else", []string{`:flood {"n1" :wet}`, `:stop nil`}, `unrecognized flood {"n1" :wet}`},
		{"a start of nobody knows what", []string{`:start nil`}, "unrecognized start nil"},
		{"a start in prose", []string{`:start "all of them"`}, `unrecognized start "all of them"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			edn, text := op(0, "invoke", "read", "nil"), "0\t:invoke\t:read\tnil\n"
			for _, told := range test.told {
				f, value, _ := strings.Cut(told, " ")
				for _, value := range []string{"nil", value} {
					edn += fmt.Sprintf("{:process :nemesis, :type :info, :f %s, :value %s}\n", f, value)
					text += fmt.Sprintf(":nemesis\t:info\t%s\t%s\n", f, value)
				}
			}
			for _, form := range []string{edn, text} {
				made, err := jepsen.Read(strings.NewReader(form), jepsen.Options{})
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, e := range made.Events {
					switch e.Type {
					case history.Inject:
						got = append(got, strings.TrimSpace(fmt.Sprintf("inject %s %v %v %s", e.Family, e.Nodes, e.Links, e.Processes)))
					case history.Heal:
						got = append(got, "heal "+e.Family)
					default:
						got = append(got, fmt.Sprintf("%s %s", e.Type, e.Detail))
					}
				}
				if diff := cmp.Diff(test.want, strings.Join(got, "; ")); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

// An action that is begun, and of which nothing more is told, may be in force.
func TestNemesisThatIsCutOff(t *testing.T) {
	text := op(0, "invoke", "read", "nil") + "{:process :nemesis, :type :info, :f :kill, :value nil}\n{:process :nemesis, :type :info, :f :stop, :value nil}\n"
	made, err := jepsen.Read(strings.NewReader(text), jepsen.Options{})
	if err != nil || len(made.Events) != 1 || made.Events[0].Type != history.Unrecognized || made.Events[0].Detail != "kill" {
		t.Errorf("%+v, %v", made.Events, err)
	}
}

// Only a history without times is said to have none.
func TestUntimed(t *testing.T) {
	for text, want := range map[string]bool{
		op(0, "invoke", "read", "nil"):                                                   true,
		"{:process 0 :type :invoke :f :read :time 5}":                                    false,
		"INFO - 1\t:invoke\t:read\tnil\nINFO - 1\t:ok\t:read\t3\n":                       true,
		"{:process 0 :type :invoke :f :read :time -1}":                                   true,
		"{:process 0 :type :invoke :f :read :time 5}\n" + op(1, "invoke", "read", "nil"): true,
	} {
		made, err := jepsen.Read(strings.NewReader(text), jepsen.Options{})
		if err != nil || made.History.Untimed != want {
			t.Errorf("%s: %v, %v", text, made.History.Untimed, err)
		}
	}
}
