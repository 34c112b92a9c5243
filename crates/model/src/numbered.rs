//! Enums whose numbers and names are those of the C interface.

use std::ffi::CStr;

/// An enum whose numbers are append-only and never reused. What stands before a value is what C programs are told of it, too.
#[macro_export]
macro_rules! numbered {
    (
        $(#[$meta:meta])*
        $type:ident: $repr:ident {
            $($(#[doc = $text:literal])+ $value:ident = $number:literal, $name:literal;)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
        #[repr($repr)]
        pub enum $type { $($(#[doc = $text])+ $value = $number,)* }

        impl $type {
            /// Every one, in the order of the header.
            pub const ALL: &[Self] = &[$(Self::$value,)*];

            pub const fn number(self) -> $repr {
                self as $repr
            }
            pub fn from_number(number: $repr) -> Option<Self> {
                Self::ALL.iter().copied().find(|it| it.number() == number)
            }
            /// Its name for C programs.
            pub const fn c_name(self) -> &'static str {
                match self { $(Self::$value => $name,)* }
            }
            /// What it says, in English.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$value => concat!($($text),+).trim_ascii(),)* }
            }
            /// The name, as C has texts.
            pub const fn name_for_c(self) -> &'static std::ffi::CStr {
                match self { $(Self::$value => const { $crate::text_for_c(concat!($name, "\0")) },)* }
            }
            /// The text, as C has texts.
            pub const fn text_for_c(self) -> &'static std::ffi::CStr {
                match self {
                    $(Self::$value => const { $crate::text_for_c(concat!($($text,)+ "\0").trim_ascii_start()) },)*
                }
            }
        }
    };
}

/// Checked when it is compiled: one zero, at the end.
#[doc(hidden)]
pub const fn text_for_c(text: &'static str) -> &'static CStr {
    match CStr::from_bytes_with_nul(text.as_bytes()) {
        Ok(text) => text,
        Err(_) => panic!("a zero within a text"),
    }
}

#[cfg(test)]
mod tests {
    numbered! {
        /// For this test.
        Sample: u8 {
            /// One line,
            /// and another.
            First = 3, "FIRST";
            /// Short.
            Second = 7, "SECOND";
        }
    }

    #[test]
    fn names_and_texts_are_told_to_rust_and_to_c() {
        assert_eq!(Sample::ALL.iter().map(|it| it.number()).collect::<Vec<_>>(), [3, 7]);
        assert_eq!((Sample::from_number(7), Sample::from_number(4)), (Some(Sample::Second), None));
        assert_eq!((Sample::First.c_name(), Sample::First.text()), ("FIRST", "One line, and another."));
        for it in Sample::ALL {
            assert_eq!(it.name_for_c().to_str(), Ok(it.c_name()));
            assert_eq!(it.text_for_c().to_str(), Ok(it.text()));
        }
    }
}
