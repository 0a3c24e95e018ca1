package tiff

import (
	"errors"
	"fmt"
	"math"
)

// fromYCbCr converts the pixels to RGB: those of uncompressed files by JPEG's formula,
// as Pillow does (ConvertYCbCr.c); others by the file's own, as libtiff does. JPEG's are
// RGB already.
func (r *reader) fromYCbCr() {
	switch {
	case r.compression == raw && !r.coefficients():
		r.eachPixel(func(p []uint8) {
			y, cb, cr := int32(p[0]), int32(p[1])-128, int32(p[2])-128
			p[0] = clip(y + scaled(1.40200, cr)>>6)
			p[1] = clip(y + (scaled(-0.34414, cb)+scaled(-0.71414, cr))>>6)
			p[2] = clip(y + scaled(1.77200, cb)>>6)
		})
	case r.coefficients():
		t := r.newYCbCrTables()
		r.eachPixel(func(p []uint8) {
			y, cb, cr := t.y[p[0]], p[1], p[2]
			p[0] = clip(y + t.crR[cr])
			p[1] = clip(y + (t.cbG[cb]+t.crG[cr])>>16)
			p[2] = clip(y + t.cbB[cb])
		})
	}
}

// scaled is a product in 64ths, rounded as in Pillow's tables.
func scaled(factor float64, v int32) int32 { return int32(factor*64*float64(v) + 0.5) }

// coefficients says whether the conversion of Y'CbCr is the file's own.
func (l *layout) coefficients() bool {
	return l.photometric == yCbCr && (l.compression != newJPEG || l.planar) &&
		(l.compression != raw || l.subsampling != [2]int{1, 1})
}

// checkCoefficients says whether that conversion is possible (libtiff's
// tif_getimage.c, initYCbCrConversion).
func (l *layout) checkCoefficients() error {
	if !l.coefficients() {
		return nil
	}
	values := append(l.floats(tagCoefficients, 0.299, 0.587, 0.114), l.floats(tagReference, 0, 255, 128, 255, 128, 255)...)
	for _, v := range values {
		if !(v > math.MinInt32 && v < math.MaxInt32) {
			return fmt.Errorf("tiff: it has %v for a coefficient of Y'CbCr", v)
		}
	}
	if values[1] == 0 {
		return errors.New("tiff: it has 0 for green's coefficient of Y'CbCr")
	}
	return nil
}

// yCbCrTables have what each byte of Y', Cb and Cr adds to red, green and blue; what
// chroma adds to green is in 65536ths.
type yCbCrTables struct {
	y, crR, cbB, crG, cbG [256]int32
}

// newYCbCrTables follows libtiff's tif_color.c, TIFFYCbCrToRGBInit, in its float32.
func (r *reader) newYCbCrTables() *yCbCrTables {
	luma := r.floats(tagCoefficients, 0.299, 0.587, 0.114)
	ref := r.floats(tagReference, 0, 255, 128, 255, 128, 255)
	fix := func(v float32) int32 { return int32(float64(min(max(v, 0), 2))*65536 + 0.5) }
	f1, f3 := 2-2*luma[0], 2-2*luma[2]
	d1, d2 := fix(f1), -fix(luma[0]*f1/luma[1])
	d3, d4 := fix(f3), -fix(luma[2]*f3/luma[1])
	value := func(code int, black, white, span float32) int32 {
		width := white - black
		if width == 0 {
			width = 1
		}
		return int32(min(max(float32(int32(code)-int32(black))*span/width, -128*32), 128*32))
	}
	t := new(yCbCrTables)
	for i := range 256 {
		cr, cb := value(i-128, ref[4]-128, ref[5]-128, 127), value(i-128, ref[2]-128, ref[3]-128, 127)
		t.y[i] = value(i, ref[0], ref[1], 255)
		t.crR[i], t.cbB[i] = (d1*cr+1<<15)>>16, (d3*cb+1<<15)>>16
		t.crG[i], t.cbG[i] = d2*cr, d4*cb+1<<15
	}
	return t
}
