//! Values that are stored as one text.

/// Implements serde for a type: `Display` serializes it, and `$read`, which takes a `&str`, deserializes it.
macro_rules! as_text {
    ($type:ty, $read:expr) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                ($read)(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

pub(crate) use as_text;
