package keras

import (
	"regexp"
	"strings"
)

var (
	notWord = regexp.MustCompile(`\W+`)
	word    = regexp.MustCompile(`(.)([A-Z][a-z]+)`)
	end     = regexp.MustCompile(`([a-z])([A-Z])`)
)

// snakeCase is Keras' to_snake_case (src/utils/naming.py): DepthwiseConv2D is
// depthwise_conv2d.
func snakeCase(class string) string {
	class = notWord.ReplaceAllString(class, "")
	class = word.ReplaceAllString(class, "${1}_$2")
	return strings.ToLower(end.ReplaceAllString(class, "${1}_$2"))
}
