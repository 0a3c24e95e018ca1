package jpeg

import "encoding/binary"

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
