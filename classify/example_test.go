package classify_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"effnet/classify"
)

// A network is opened once, and asked from any number of goroutines.
func Example() {
	c, err := classify.Open("testdata/blots.safetensors", classify.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	results, err := c.Classify(ctx, classify.File("testdata/red.png"), classify.File("testdata/blue.png"))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range results {
		fmt.Printf("%s, %.0f%%\n", r.Best().Name, 100*r.Best().Probability)
	}
	// Output:
	// red, 87%
	// blue, 97%
}

// Where in an image the network sees its likeliest class.
func ExampleClassifier_CAM() {
	c, err := classify.Open("testdata/blots.safetensors", classify.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	cam, err := c.CAM(context.Background(), classify.File("testdata/blue.png"), classify.Likeliest)
	if err != nil {
		fmt.Println(err)
		return
	}
	most := 0
	for i, v := range cam.Values {
		if v > cam.Values[most] {
			most = i
		}
	}
	fmt.Printf("%s, most of it in row %d and column %d of %d\n", cam.Prediction.Name, most/cam.Side, most%cam.Side, cam.Side)
	// png.Encode(file, cam.Overlay()) would draw it.

	// Output:
	// blue, most of it in row 6 and column 9 of 12
}

// An image that cannot be used is an *ImageError, which names it.
func ExampleImageError() {
	c, err := classify.Open("testdata/blots.safetensors", classify.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	_, err = c.Classify(context.Background(), classify.Reader("upload 1", strings.NewReader("not an image")))
	if bad, ok := errors.AsType[*classify.ImageError](err); ok {
		fmt.Println(bad.Name, "cannot be used")
	}
	// Output:
	// upload 1 cannot be used
}
