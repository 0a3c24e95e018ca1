package classify

import (
	"image"
	"io"

	"effnet/internal/predict"
)

// An Image is a picture to classify: a JPEG, PNG, GIF, WebP, BMP or TIFF file from
// somewhere, or one that is decoded. An Image can be used once if it is a Reader, else any
// number of times.
type Image struct{ image predict.Image }

// File is an image file.
func File(path string) Image { return Image{predict.File(path)} }

// Bytes is an image file in memory, which errors call name. It must not change before the
// call it is given to returns.
func Bytes(name string, file []byte) Image { return Image{predict.Bytes(name, file)} }

// Reader is an image file that r yields, which errors call name. One of Options.Workers
// waits while it is read, so read what comes slowly before, and use Bytes.
func Reader(name string, r io.Reader) Image { return Image{predict.Reader(name, r)} }

// Decoded is a decoded image, which errors call name. It must not change before the call
// it is given to returns. Go's own decoder rounds JPEG in another way than libjpeg and
// effnet do, which moves probabilities in their last digits: prefer File, Bytes or Reader.
func Decoded(name string, m image.Image) Image { return Image{predict.Decoded(name, m)} }
