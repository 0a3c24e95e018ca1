package weights

import (
	_ "embed"
	"strings"
)

// imageNetText has a line for each of ImageNet's 1000 classes, in the order of
// the networks' outputs: WordNet's synset, a tab and its names
// (tools/imagenet_classes.py wrote it).
//
//go:embed imagenet.tsv
var imageNetText string

type imageNetClass struct{ synset, label string }

var imageNet = readImageNet()

func readImageNet() (all []imageNetClass) {
	for line := range strings.Lines(imageNetText) {
		synset, label, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		all = append(all, imageNetClass{synset, label})
	}
	return all
}
