package registers

import (
	"fmt"

	"github.com/rashomon-io/rashomon/checker/anomaly"
	"github.com/rashomon-io/rashomon/checker/internal/model"
	"github.com/rashomon-io/rashomon/checker/internal/sentence"
)

// candidate is told by the nodes of the operations; a lost commit by any, for any may
// have held it. Of a stale read and a lost commit, the time of the older write is not.
func (c confirmed) candidate(key string) model.Candidate {
	made := model.Candidate{Anomaly: c.anomaly, Key: key, Told: c.told, Witness: model.Copies(c.witness...), Text: c.text}
	switch {
	case c.atOdds:
		made.Anomaly = anomaly.StaleRead
	case c.anomaly == refused:
		made.Anomaly = anomaly.Disorder
	}
	told := c.told
	if c.anomaly == anomaly.StaleRead || c.anomaly == anomaly.LostCommit {
		told = told[:2]
	}
	made.During = sentence.SpanOf(told...)
	if c.anomaly != anomaly.LostCommit {
		made.Nodes = sentence.Nodes(c.told...)
	}
	return made
}

func (c confirmed) text(t sentence.Teller) string {
	o := c.told[0]
	switch c.anomaly {
	case anomaly.StaleRead:
		return t.Stale(o, c.told[1])
	case anomaly.LostCommit:
		return t.Lost(o, c.told[1], "a commit")
	case anomaly.PhantomRead:
		return t.Phantom(o, c.told[1])
	case anomaly.DoubleSwap:
		return fmt.Sprintf("%s and %s: both replaced the one %d", t.Dated(o), t.Dated(c.told[1]), o.Input.At(0))
	case anomaly.Resurrected:
		text := fmt.Sprintf("%s, after %s", t.Dated(o), t.Dated(c.told[1]))
		if early := c.told[2]; early != nil {
			text += fmt.Sprintf(", and before that %s", t.Dated(early))
		}
		return text + ": an overwritten value came back"
	case refused:
		text := fmt.Sprintf("%s, after %s", t.Dated(o), t.Dated(c.told[1]))
		if after := c.told[2]; after != nil {
			return text + fmt.Sprintf(", and after that %s: the value was there", t.Dated(after))
		}
		return text + ": nothing can have been written in between"
	}
	text := t.NoOrder(c.told)
	if c.atOdds {
		text += ": whatever the order, a read was stale"
	}
	return text
}
