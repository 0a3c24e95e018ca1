package predict

import (
	"effnet/internal/augment"
)

// views are the corners of each way to look at an image, and whether mirrored too.
var views = map[string]func(e augment.Eval) []augment.Transform{
	"none":   func(e augment.Eval) []augment.Transform { return look(e, false, augment.Center) },
	"flip":   func(e augment.Eval) []augment.Transform { return look(e, true, augment.Center) },
	"5crop":  func(e augment.Eval) []augment.Transform { return look(e, false, corners...) },
	"10crop": func(e augment.Eval) []augment.Transform { return look(e, true, corners...) },
}

// ViewsNames lists the ways to look at an image, for people.
const ViewsNames = "none, flip, 5crop or 10crop"

// HasViews says whether there is a way to look at an image of that name.
func HasViews(name string) bool { return views[name] != nil }

var corners = []augment.Corner{augment.Center, augment.TopLeft, augment.TopRight, augment.BottomLeft, augment.BottomRight}

func look(e augment.Eval, mirrored bool, corners ...augment.Corner) (all []augment.Transform) {
	for _, corner := range corners {
		e.Corner, e.Flip = corner, false
		all = append(all, e)
		if mirrored {
			e.Flip = true
			all = append(all, e)
		}
	}
	return all
}
