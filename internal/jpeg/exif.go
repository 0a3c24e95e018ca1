package jpeg

import "encoding/binary"

// Orientation returns the EXIF orientation of a JPEG file of any kind, 1 to 8; 1,
// upright, where there is none.
func Orientation(file []byte) int {
	if len(file) < 2 || file[0] != 0xff || file[1] != markSOI {
		return 1
	}
	found := 1
	for rest := file[2:]; ; {
		mark, segment, after, err := nextSegment(rest)
		if err != nil || mark == markSOS {
			return found
		}
		if o := orientation(segment); mark == markAPP1 && o != 0 {
			found = o
		}
		rest = after
	}
}

// orientation finds the orientation in an APP1 segment: 1 to 8, or 0 if there is
// none (EXIF 2.32, section 4.6; the tag is 0x112 of the first directory).
func orientation(s []byte) int {
	const header = "Exif\x00\x00"
	if len(s) < len(header)+8 || string(s[:len(header)]) != header {
		return 0
	}
	s = s[len(header):]
	var order binary.ByteOrder = binary.LittleEndian
	if string(s[:2]) == "MM" {
		order = binary.BigEndian
	}
	at := int64(order.Uint32(s[4:]))
	if at+2 > int64(len(s)) {
		return 0
	}
	const size = 12 // of an entry: tag, type, count, value
	entries := s[at+2:]
	for range order.Uint16(s[at:]) {
		if len(entries) < size {
			return 0
		}
		if order.Uint16(entries) == 0x112 {
			if v := int(order.Uint16(entries[8:])); v >= 1 && v <= 8 {
				return v
			}
			return 0
		}
		entries = entries[size:]
	}
	return 0
}
