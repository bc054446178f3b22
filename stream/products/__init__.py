"""What is bought with what, and what next: learnt in the stream, in bounded memory (MISSION D7)."""
