"""Text recognition: real pages, the real engine where it is there, and doubles of what lies outside."""
