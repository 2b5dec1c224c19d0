"""What is different between two conversations (`captures`), and between what two servers show (`surfaces`)."""
