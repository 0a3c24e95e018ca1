package scale

import (
	"errors"
	"math"
)

// A TimeModel predicts how long a forward pass takes on one machine, from counts alone:
// seconds for each layer, each multiply-add and each activation. Activations stand for
// what memory costs: Dollár et al. (2021, figure 3) found that on processors that memory
// bounds, time follows them more closely than multiply-adds.
type TimeModel struct{ PerLayer, PerMAC, PerActivation float64 }

// Timed is a network and the seconds that it took.
type Timed struct {
	Arch    Arch
	Seconds float64
}

// counts are what the model's numbers multiply.
func counts(a Arch) [3]float64 {
	c := Count(a)
	return [3]float64{float64(len(a.Layers())), float64(c.MACs), float64(c.Activations)}
}

// Seconds is the time that the model predicts.
func (m TimeModel) Seconds(a Arch) float64 {
	n := counts(a)
	return m.PerLayer*n[0] + m.PerMAC*n[1] + m.PerActivation*n[2]
}

// FitTime is the model whose relative errors on the measured networks have the least sum
// of squares. None of its numbers is negative, so that more work never takes less time.
func FitTime(measured []Timed) (TimeModel, error) {
	if len(measured) == 0 {
		return TimeModel{}, errors.New("scale: no measured network to fit a model of time to")
	}
	rows := make([][3]float64, len(measured)) // counts over seconds: the model wants each row to be 1
	for i, t := range measured {
		rows[i] = counts(t.Arch)
		for j := range rows[i] {
			rows[i][j] /= t.Seconds
		}
	}
	var best [3]float64
	least := math.Inf(1)
	// With three numbers the least squares that are not negative are the best of those of
	// seven sets of numbers that are not zero, as far as none of them comes out negative.
	for set := 1; set < 8; set++ {
		x, ok := leastSquares(rows, set)
		if !ok {
			continue
		}
		sum := 0.
		for _, r := range rows {
			d := r[0]*x[0] + r[1]*x[1] + r[2]*x[2] - 1
			sum += d * d
		}
		if sum < least {
			least, best = sum, x
		}
	}
	return TimeModel{best[0], best[1], best[2]}, nil
}

// leastSquares solves the normal equations of rows x = 1 for the columns in the bits of
// set; the others are 0. ok is false where there is no solution, or a negative one.
func leastSquares(rows [][3]float64, set int) (x [3]float64, ok bool) {
	var a [3][4]float64 // the equations, and their right side
	var unit [3]float64 // by which columns are divided, since counts differ by powers of ten
	for j := range unit {
		for _, r := range rows {
			unit[j] = max(unit[j], r[j])
		}
	}
	for i := range 3 {
		if set>>i&1 == 0 {
			a[i][i] = 1
			continue
		}
		for _, r := range rows {
			for j := range 3 {
				if set>>j&1 == 1 {
					a[i][j] += r[i] / unit[i] * r[j] / unit[j]
				}
			}
			a[i][3] += r[i] / unit[i]
		}
	}
	for i := range 3 { // elimination, without a choice of pivots: the matrix is positive
		if a[i][i] < 1e-12 {
			return x, false
		}
		for k := range 3 {
			if f := a[k][i] / a[i][i]; k != i {
				for j := i; j < 4; j++ {
					a[k][j] -= f * a[i][j]
				}
			}
		}
	}
	for i := range 3 {
		if x[i] = a[i][3] / a[i][i] / unit[i]; x[i] < 0 {
			return x, false
		}
	}
	return x, true
}
