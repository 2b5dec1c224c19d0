"""A program that starts a server by itself: its workers are told nowhere how many they are."""

import sys

import uvicorn

if __name__ == "__main__":
    uvicorn.run(sys.argv[2], port=int(sys.argv[1]), workers=int(sys.argv[3]), log_level="warning")
