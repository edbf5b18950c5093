package reports

import "math"

// Confidence intervals, at 95 %. What is independent are runs, not operations:
// an operation is stale because the one before it was. So one run has no
// interval.

// normal is the 97.5 % quantile of the normal distribution.
const normal = 1.959964

// students are the 97.5 % quantiles of Student's t distribution, by degrees of
// freedom from 1 on.
var students = [...]float64{
	12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
	2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
}

func student(freedom int) float64 {
	if freedom <= len(students) {
		return students[freedom-1]
	}
	return normal + 2.46/float64(freedom) // within 0.001
}

// wilson is the score interval of a share p of n independent trials, z standard
// errors wide: Wilson, Probable Inference, the Law of Succession, and
// Statistical Inference, J. Am. Stat. Assoc. 22 (1927). It stays within [0, 1],
// and tells something of 0 of n, too.
func wilson(p, n, z float64) (low, high float64) {
	centre := p + z*z/(2*n)
	reach := z * math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	scale := 1 + z*z/n
	low, high = (centre-reach)/scale, (centre+reach)/scale
	if p == 0 {
		low = 0
	}
	if p == 1 {
		high = 1
	}
	return max(low, 0), min(high, 1)
}

// A part is one run's contribution to a share.
type part struct{ count, of int }

// shareInterval is Wilson's, with the number of trials cut down to so many
// independent ones as would vary like the runs do among each other, and
// Student's t for the few runs (Franco, Little, Louis, Slud: Comparative Study of
// Confidence Intervals for Proportions in Complex Sample Surveys, J. Survey Stat.
// Methodol. 7 (2019)). Where no run has any, or each has all, the runs do not tell
// how they vary, and operations are taken as independent: too narrow then. False
// if fewer than two runs have any trials.
func shareInterval(parts []part) (low, high float64, ok bool) {
	var runs, count, of float64
	for _, p := range parts {
		if p.of > 0 {
			runs++
			count, of = count+float64(p.count), of+float64(p.of)
		}
	}
	if runs < 2 {
		return 0, 0, false
	}
	share := count / of
	var squares float64
	for _, p := range parts {
		off := float64(p.count) - share*float64(p.of)
		squares += off * off
	}
	independent := of
	if variance := squares / (of * of) * runs / (runs - 1); variance > 0 {
		independent = min(of, share*(1-share)/variance)
	}
	low, high = wilson(share, independent, student(int(runs)-1))
	return low, high, true
}

// meanInterval is Student's, of a figure that cannot be negative. False of fewer
// than two values.
func meanInterval(values []float64) (low, high float64, ok bool) {
	n := float64(len(values))
	if n < 2 {
		return 0, 0, false
	}
	mean := average(values)
	var squares float64
	for _, v := range values {
		squares += (v - mean) * (v - mean)
	}
	reach := student(len(values)-1) * math.Sqrt(squares/(n-1)/n)
	return max(mean-reach, 0), mean + reach, true
}

func average(values []float64) float64 {
	var sum float64
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}
