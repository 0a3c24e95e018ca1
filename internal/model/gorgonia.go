package model

import _ "go4.org/unsafe/assume-no-moving-gc" // pinned: Gorgonia v0.9.18 panics at start with an older one
